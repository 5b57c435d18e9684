/* Start what every page besides the desk needs: notices, and a session that goes on. */
import { keepSignedIn } from "./session.js";
import { watchNotices } from "./notices.js";

watchNotices();
keepSignedIn(JSON.parse(document.body.dataset.live).renew_s);
