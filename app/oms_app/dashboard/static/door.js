/* Pages without a session: the token of a mail's link goes into the form, and a password needs no second typing. */
function takeToken() {
  const form = document.querySelector("form[data-token]");
  const token = location.hash.slice(1);
  if (!form || !token) return;
  history.replaceState(null, "", location.pathname); // it shall not stay in the address bar
  form.elements.token.value = token;
  form.querySelector("[data-code]")?.setAttribute("hidden", "");
  if (form.dataset.token === "send") form.requestSubmit();
}

function keepPassword() {
  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("#login");
    if (!form) return;
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    try {
      const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      if (answer.redirected) return location.assign(answer.url);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = page.getElementById("door");
      if (!next) return form.submit();
      const code = next.querySelector("[name=totp_code]");
      if (code) next.querySelector("[name=password]").value = form.elements.password.value;
      document.getElementById("door").replaceWith(next);
      next.querySelector("[autofocus]")?.focus();
    } catch {
      form.submit();
    } finally {
      button.disabled = false;
    }
  });
}

takeToken();
keepPassword();
