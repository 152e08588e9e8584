"""Tables: the results of every architecture of a space, looked up instead of trained."""

from jaxnas.tables.files import SHIPPED, read_columns
from jaxnas.tables.records import Records, address, records

__all__ = ["SHIPPED", "Records", "address", "read_columns", "records"]
