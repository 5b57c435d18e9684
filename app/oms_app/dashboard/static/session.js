/* Renew the session while the page is open; when it cannot be renewed, go to the sign-in page. */
const RETRY_MS = 5000;
let pending = null;

/** Whether the session goes on. Several callers share one request. */
export function renew() {
  pending ??= fetch("/login/renew", { method: "POST" })
    .then((answer) => {
      if (answer.status === 401) location.assign("/login");
      return answer.ok;
    })
    .catch(() => false)
    .finally(() => { pending = null; });
  return pending;
}

/** Renew every so many seconds, and at once when a fragment is refused for want of a session. */
export function keepSignedIn(renewSeconds) {
  const later = (ms) => setTimeout(async () => later(await renew() ? renewSeconds * 1000 : RETRY_MS), ms);
  later(renewSeconds * 1000);
  document.addEventListener("htmx:response:error", (event) => {
    if (event.detail.ctx.response.status === 401) renew();
  });
}
