/* Events of the ledgers in, refreshed fragments out: what changed is marked, and refreshed at most four times a second.

Each ledger has one stream, resumed by its last event id; while one is away the page polls and says so. */
import { renew } from "./session.js";
import { trouble } from "./notices.js";

const FLUSH_MS = 250;
const QUOTES_MS = 1000;
const STATUS_MS = 3000;
const AWAY_MS = 2000;
const RETRY_MS = 2000;
const POSITION_KINDS = new Set(["order_filled", "fee_attached", "execution_corrected", "execution_busted", "cash_changed"]);
const STATUS_KINDS = new Set(["account_opened", "trading_state_changed", "kill_switch_activated", "kill_switch_released"]);
const ALERT_KINDS = new Set(["alert_raised", "alert_acknowledged", "break_found", "break_changed", "break_acknowledged", "break_resolved"]);

const dirty = new Set();
let timer = null;

function mark(...topics) {
  topics.forEach((topic) => dirty.add(topic));
  timer ??= setTimeout(flush, FLUSH_MS);
}

function flush() {
  timer = null;
  if (document.hidden) return; // marked topics wait until somebody looks
  for (const topic of dirty) document.body.dispatchEvent(new CustomEvent(`oms:${topic}`));
  dirty.clear();
}

function markFor(kind) {
  if (POSITION_KINDS.has(kind)) mark("orders", "positions");
  else if (STATUS_KINDS.has(kind)) mark("status", "orders", "positions");
  else if (ALERT_KINDS.has(kind)) mark("status");
  else mark("orders");
}

function follow(live, ledger, lastId) {
  const url = new URL(live.stream);
  url.searchParams.set("ledger_id", ledger);
  if (lastId) url.searchParams.set("last_event_id", lastId);
  const source = new EventSource(url, { withCredentials: true });
  const away = () => trouble(ledger, "Live updates are interrupted. Reconnecting…");
  let warning = null;
  const warnLater = () => { warning ??= setTimeout(away, AWAY_MS); }; // once, however often it tries again
  const calm = () => { clearTimeout(warning); warning = null; };
  warnLater();
  const again = async () => {
    source.close();
    calm();
    away();
    await renew();
    setTimeout(() => follow(live, ledger, lastId), RETRY_MS);
  };
  source.onopen = () => {
    calm();
    trouble(ledger, null);
    document.body.dataset.streaming = "true";
    mark("orders", "positions", "status");
  };
  source.onerror = () => {
    delete document.body.dataset.streaming;
    if (source.readyState === EventSource.CLOSED) again(); // refused: the session may have ended
    else warnLater();
  };
  source.addEventListener("closed", again);
  for (const kind of live.kinds) {
    source.addEventListener(kind, (event) => {
      lastId = event.lastEventId;
      markFor(kind);
    });
  }
}

/** Follow every ledger, and refresh what moves with the market. */
export function followLedgers(live) {
  live.ledgers.forEach((ledger) => follow(live, ledger, null));
  setInterval(() => mark("quotes", "positions"), QUOTES_MS);
  setInterval(() => {
    mark("status");
    if (!document.body.dataset.streaming) mark("orders");
  }, STATUS_MS);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) mark("orders", "positions", "status", "quotes"); });
}
