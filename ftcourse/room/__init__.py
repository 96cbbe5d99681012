"""A Hub in the room: models, data sets and metrics served to the Hugging Face libraries on a network without internet."""

from ftcourse.room.background import RoomHub, start_hub

__all__ = ["RoomHub", "start_hub"]
