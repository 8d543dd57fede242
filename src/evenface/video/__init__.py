"""Videos and webcams: frames in, faces followed from frame to frame, frames and sound out.

    with open_video("talk.mp4") as video, VideoWriter("out.mp4", video) as writer:
        tracker = Tracker()
        for frame in video.frames():                        # frame.image: (H, W, 3) uint8 RGB, upright
            result = tracker.update(predict(frame))         # the same person has the same id in all frames
            writer.write(draw(frame.image, result), frame.time)

`reading` and `camera` give frames, `tracking` the ids and the smoothed scores, `writing` and `sound` the new file. Video files need the
extra `video` (PyAV); webcams do not.
"""

from evenface.video.camera import Camera as Camera
from evenface.video.camera import open_camera as open_camera
from evenface.video.reading import Frame as Frame
from evenface.video.reading import Source as Source
from evenface.video.reading import Video as Video
from evenface.video.reading import is_video as is_video
from evenface.video.reading import open_video as open_video
from evenface.video.tracking import Tracker as Tracker
from evenface.video.writing import VideoWriter as VideoWriter


__all__ = ["Camera", "Frame", "Source", "Tracker", "Video", "VideoWriter", "is_video", "open_camera", "open_video"]
