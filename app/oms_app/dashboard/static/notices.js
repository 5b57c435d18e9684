/* Short messages in the corner, and the banner for what is wrong with the connection. */
const STAYS_MS = 6000;
const banner = document.getElementById("banner");
const list = document.getElementById("notices");
const troubles = new Map();

/** Say something that goes away by itself. tone: good or bad. */
export function notice(text, tone = "good") {
  const item = document.createElement("li");
  item.className = `note ${tone}`;
  item.textContent = text;
  list.append(item);
  setTimeout(() => item.remove(), STAYS_MS);
}

/** Show a trouble until it is over; text null: it is over. */
export function trouble(name, text) {
  if (text) troubles.set(name, text);
  else troubles.delete(name);
  banner.textContent = [...troubles.values()][0] ?? "";
  banner.hidden = troubles.size === 0;
}

/** Show what the server says beside its fragments, and that it does not answer. */
export function watchNotices() {
  document.body.addEventListener("oms:notice", (event) => notice(event.detail.text, event.detail.tone));
  document.addEventListener("htmx:response:error", (event) => {
    const { response, request } = event.detail.ctx;
    if (response.status >= 500) trouble("server", "The server cannot answer right now. Trying again…");
    else if (response.status === 401 && request.method !== "GET") notice("Your session was renewed. Send it once more.", "bad");
    else if (response.status === 403 && !response.headers.get("X-Step-Up")) notice("You may not do this, or the page is out of date.", "bad");
    if (response.status >= 500 && request.method !== "GET") {
      notice("No answer. Look at the orders before you try again; sending again makes no second order.", "bad");
    }
  });
  document.addEventListener("htmx:error", () => trouble("server", "The server cannot be reached. Trying again…"));
  document.addEventListener("htmx:after:request", (event) => {
    if (event.detail.ctx.response.status < 500) trouble("server", null);
  });
}
