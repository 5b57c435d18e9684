"""The platform itself as the owner of a log: the reserved ids under which what belongs to no tenant is recorded."""

from oms_kernel.domain.ids import LedgerId, TenantId

PLATFORM_TENANT = TenantId("00000000-0000-0000-0000-000000000000")
"""Only those who run the platform are members of this tenant, and it has no accounts."""
PLATFORM_LEDGER = LedgerId("00000000-0000-0000-0000-000000000000")
PLATFORM = (PLATFORM_TENANT, PLATFORM_LEDGER)
