"""Artifact folder -> Redis under a new version -> one atomic flip of the live pointer."""

from training.publish.connection import PublishError
from training.publish.publisher import live_version, publish_artifact
from training.publish.registry import PublishPolicy

__all__ = ["PublishError", "PublishPolicy", "live_version", "publish_artifact"]
