/* Ask who is there when a request was refused for want of a fresh proof, then send that request once more. */
export function wireStepUp() {
  const dialog = document.getElementById("step-up");
  const form = dialog.querySelector("form");
  const fault = document.getElementById("step-up-fault");
  let refused = null;
  let pressed = null; // the button that sent it: its value belongs to what is sent again

  function say(text) {
    fault.textContent = text ?? "";
    fault.hidden = !text;
  }

  document.addEventListener("htmx:response:error", (event) => {
    const { response, request, sourceElement } = event.detail.ctx;
    const wanted = response.headers.get("X-Step-Up");
    if (!wanted) return;
    refused = sourceElement;
    pressed = request.submitter ?? null;
    form.reset();
    say(null);
    for (const label of form.querySelectorAll("[data-proof]")) {
      label.hidden = label.dataset.proof !== wanted;
      label.querySelector("input").disabled = label.hidden;
    }
    dialog.showModal();
    form.querySelector(`[name=${wanted}]`).focus();
  });
  document.getElementById("step-up-leave").addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    try {
      const answer = await fetch("/step-up", { method: "POST", body: new URLSearchParams(new FormData(form)) });
      if (answer.status !== 204) return say(answer.status === 422 ? await answer.text() : "It did not work. Load the page again.");
      form.reset();
      dialog.close();
      refused.requestSubmit(pressed);
    } catch {
      say("The server cannot be reached. Try again.");
    } finally {
      button.disabled = false;
    }
  });
}
