/* A form that stops trading is armed by typing what it stops, or HALT. The server checks the same; without this script
the button is simply there. */
const WORD = "HALT";

function nameOf(form) {
  const symbol = form.elements.symbol?.value.trim();
  const chosen = form.elements.reach?.selectedOptions[0];
  return symbol || chosen?.dataset.name || "";
}

function arm(form) {
  const typed = form.elements.confirmation.value.trim().toLowerCase();
  const name = nameOf(form);
  const button = form.querySelector("button[data-armed]");
  const isArmed = typed !== "" && [WORD, name].some((word) => word.toLowerCase() === typed);
  button.disabled = !isArmed;
  form.querySelector("[data-name-of]").textContent = name;
}

/** Watch every form that has to be armed, also those that come later. */
export function wireArming() {
  const all = () => document.querySelectorAll("form[data-arming]").forEach(arm);
  for (const kind of ["input", "change"]) {
    document.addEventListener(kind, (event) => {
      const form = event.target.closest("form[data-arming]");
      if (form) arm(form);
    });
  }
  document.addEventListener("htmx:finally:request", all);
  all();
}
