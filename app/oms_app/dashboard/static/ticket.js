/* The ticket's keys and the way from a quote into it. Which fields show is a matter of the style sheet. */
const field = (name) => document.getElementById(`ticket-${name}`);

function choose(side) {
  document.querySelector(`#ticket input[name=side][value=${side}]`).checked = true;
  field("quantity").focus();
  field("quantity").select();
}

const KEYS = {
  b: () => choose("BUY"),
  s: () => choose("SELL"),
  "/": () => { field("symbol").focus(); field("symbol").select(); },
};

/** Listen to keys, quotes and answers. */
export function wireTicket() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isTyping = event.target.closest("input:not([type=radio]), select, textarea, dialog");
    if (isTyping && event.key === "Escape") event.target.blur();
    if (isTyping || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  document.getElementById("quotes").addEventListener("click", (event) => {
    const quote = event.target.closest("[data-symbol]");
    if (!quote) return;
    field("symbol").value = quote.dataset.symbol;
    field("quantity").focus();
  });
  document.getElementById("ticket").addEventListener("input", () => document.getElementById("preview")?.replaceChildren()); // it was of other terms
  document.addEventListener("htmx:finally:request", (event) => {
    const { target, request } = event.detail.ctx;
    if (target?.id !== "ticket" || request.method !== "POST") return;
    (document.querySelector("#ticket :is([aria-invalid=true], #ticket-confirmed_quantity)") ?? document.querySelector("#ticket .send")).focus();
  });
}
