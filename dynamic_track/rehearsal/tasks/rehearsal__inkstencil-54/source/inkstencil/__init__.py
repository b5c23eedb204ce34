"""Text templates with scopes, loops and includes."""

from inkstencil.environment import Environment, Template
from inkstencil.errors import TemplateError

__all__ = ["Environment", "Template", "TemplateError"]
