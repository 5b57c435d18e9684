"""Services in, every page of risk and compliance out, for the blueprint to route."""

from typing import Protocol

from oms_app.dashboard.answering import Routes
from oms_app.dashboard.approval_queue import ApprovalPages
from oms_app.dashboard.cases import BreachPages, CompliancePages
from oms_app.dashboard.change_pages import ChangePages
from oms_app.dashboard.limit_pages import LimitPages
from oms_app.dashboard.liquidations import LiquidationPages
from oms_app.dashboard.reports import ReportPages
from oms_app.dashboard.risk import RiskPage
from oms_app.dashboard.rows import DeskRows
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sessions import Sessions
from oms_app.dashboard.sheets import Sheets
from oms_app.dashboard.switches import SwitchPages
from oms_app.dashboard.verdict_log import VerdictPages


class Pages(Protocol):
    """Views that know their routes."""

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""


def risk_pages(services: DashboardServices, rows: DeskRows, sessions: Sessions, sheets: Sheets) -> tuple[Pages, ...]:
    """The pages of risk officers and of compliance."""
    return (
        RiskPage(services, rows, sessions),
        BreachPages(services, rows, sheets),
        SwitchPages(services, rows, sheets),
        ApprovalPages(services, rows, sheets),
        LimitPages(services, rows, sheets),
        ChangePages(services, rows, sheets),
        VerdictPages(services, rows, sheets),
        LiquidationPages(services, rows, sheets),
        CompliancePages(services, rows, sheets),
        ReportPages(services, rows, sheets),
    )
