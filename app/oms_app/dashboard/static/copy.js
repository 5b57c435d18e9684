/* Copy what is shown once; where the browser does not let us, select it. */
export function wireCopy() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const shown = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(shown.innerText.trim());
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(shown);
    }
  });
}
