"""Cloud Storage on loopback: gcp-storage-emulator over plain files, with what it leaves out.

The handlers of gcp-storage-emulator answer most calls. Around them stand the parts it lacks:
generations and preconditions, pages of a listing, rewriting, chunks of resumable and multipart
uploads, ranges, and objects that somebody put into the folder without calling the API, as a
container does through its mount ``/gcs/``.
"""

from tests.vertex.storage.folder import FolderStorage
from tests.vertex.storage.server import StorageServer

__all__ = ["FolderStorage", "StorageServer"]
