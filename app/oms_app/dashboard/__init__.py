"""The dashboard: pages and fragments for people who are signed in, from read models out and through flow in."""

from oms_app.dashboard.blueprint import create_dashboard
from oms_app.dashboard.services import DashboardServices

__all__ = ["DashboardServices", "create_dashboard"]
