/* Start the parts of the desk. */
import { followLedgers } from "./live.js";
import { keepSignedIn } from "./session.js";
import { watchNotices } from "./notices.js";
import { wireTicket } from "./ticket.js";
import { wireConfirm } from "./confirm.js";

const live = JSON.parse(document.body.dataset.live);
watchNotices();
wireTicket();
wireConfirm();
keepSignedIn(live.renew_s);
followLedgers(live);
