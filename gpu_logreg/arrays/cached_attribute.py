"""An attribute that is computed on first access, without a lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

__all__ = ["cached_attribute"]

T = TypeVar("T")


class cached_attribute(Generic[T]):  # noqa: N801 - used as a decorator, like property
    """As `functools.cached_property`, which up to Python 3.11 holds one lock for the attribute of all instances.

    Under that lock two fits in two threads wait for each other, and a child forked while another thread holds it waits
    for ever. Here threads that ask at the same time may each compute the value; all get the one that was stored first.

    Examples
    --------
    >>> class Rows:
    ...     @cached_attribute
    ...     def total(self):
    ...         print("computed")
    ...         return 3
    >>> rows = Rows()
    >>> rows.total + rows.total
    computed
    6
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> cached_attribute[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: Any, owner: type) -> Any:
        """The value; from now on the dictionary of the instance holds it, and this method is not called again."""
        if instance is None:
            return self
        return instance.__dict__.setdefault(self._name, self._function(instance))
