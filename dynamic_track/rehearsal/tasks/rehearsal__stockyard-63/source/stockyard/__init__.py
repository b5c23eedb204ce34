"""Orders of a shop, and the stock that is reserved for them."""

from stockyard.order import Line, Order
from stockyard.shop import Shop
from stockyard.state import State, WrongState
from stockyard.stock import OutOfStock, Stock

__all__ = ["Line", "Order", "OutOfStock", "Shop", "State", "Stock", "WrongState"]
