/* Ask before what cannot be taken back, in a dialog of our own that the keyboard can use. */
export function wireConfirm() {
  const dialog = document.getElementById("confirm");
  document.addEventListener("htmx:confirm", (event) => {
    event.preventDefault();
    dialog.querySelector("#confirm-text").textContent = event.detail.ctx.confirm;
    const yes = dialog.querySelector("#confirm-yes");
    const asked = event.detail.ctx.sourceElement?.querySelector("button");
    if (yes && asked) yes.textContent = asked.textContent;
    dialog.returnValue = "";
    dialog.addEventListener(
      "close",
      () => (dialog.returnValue === "yes" ? event.detail.issueRequest() : event.detail.dropRequest()),
      { once: true },
    );
    dialog.showModal();
  });
}
