/* Start what pages of forms need: notices, a session that goes on, questions before and proofs with what is sent. */
import { keepSignedIn, renew } from "./session.js";
import { watchNotices } from "./notices.js";
import { wireConfirm } from "./confirm.js";
import { wireStepUp } from "./step_up.js";
import { wireCopy } from "./copy.js";

watchNotices();
wireConfirm();
wireStepUp();
wireCopy();
keepSignedIn(JSON.parse(document.body.dataset.live).renew_s);
document.body.addEventListener("oms:renew", renew); // what the person may do has changed: the next token says so
