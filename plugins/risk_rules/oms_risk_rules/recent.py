"""What the memories of this package's rules are made of: the kernel's map of what happened lately."""

from oms_kernel.recent import Generation as Generation
from oms_kernel.recent import Recent as Recent
