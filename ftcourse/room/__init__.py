"""A Hub in the room: models, data sets and metrics for the Hugging Face libraries, without internet."""

from ftcourse.room.background import RoomHub, start_hub

__all__ = ["RoomHub", "start_hub"]
