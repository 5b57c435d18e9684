/* Start what pages of forms need: notices, a session that goes on, questions before and proofs with what is sent. */
import { keepSignedIn, renew } from "./session.js";
import { watchNotices } from "./notices.js";
import { wireConfirm } from "./confirm.js";
import { wireStepUp } from "./step_up.js";
import { wireCopy } from "./copy.js";
import { wireArming } from "./arming.js";

watchNotices();
wireConfirm();
wireStepUp();
wireCopy();
wireArming();
keepSignedIn(JSON.parse(document.body.dataset.live).renew_s);
document.addEventListener("htmx:finally:request", (event) => {
  if (event.detail.ctx.request.method !== "POST") return;
  const first = document.querySelector("#boards :is(.once code, [aria-invalid=true], .note.bad[role=alert])"); // to be read or put right
  first?.focus();
  first?.scrollIntoView({ block: "nearest" });
});
document.body.addEventListener("oms:renew", renew); // what the person may do has changed: the next token says so
