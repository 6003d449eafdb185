"""What is used of boto3."""

from __future__ import annotations

from ..ext import boto3

__all__ = ("boto3",)
