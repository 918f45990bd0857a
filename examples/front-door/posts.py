"""What the emulator reads out of its database, a row at a time."""

import datetime

POSTS = [
    {"index": 7528, "title": "No Title Data Available", "follower_count": "124k",
     "downloaded": datetime.datetime(2021, 11, 3, 14, 21)},
    {"index": 7529, "title": "Sea glass lamps", "follower_count": "3M",
     "downloaded": datetime.datetime(2021, 11, 3, 14, 22)},
]
