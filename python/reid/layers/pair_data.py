"""The Caffe layer that feeds the siamese net with pairs."""
from collections.abc import Sequence

import caffe
from caffe._caffe import Blob, RawBlobVec

from reid.common.errors import InputError
from reid.layers.feed import PairFeed
from reid.layers.source import Source
from reid.layers.workers import batches

LABELS = 1, 2, 3  # tops after the images; pycaffe lets a vector of blobs be indexed, not sliced


class PairData(caffe.Layer):
    """N pairs of images as one stack, with their labels.

    `param_str` is JSON with the keys of `reid.layers.source.Source`. Tops, all float32:
    data (2N, 3, height, width): the a's of the N pairs, then their b's, BGR less the mean;
    label_a (N,), label_b (N,): the training identities as class indices;
    same (N,): 0 where a and b show one identity, 1 where they show two.
    A label of −1, in a test net only, leaves the pair out of the loss of that head.

    Raises InputError while the net is built, where settings or LMDBs do not fit.
    """

    def setup(self, bottom: RawBlobVec, top: RawBlobVec) -> None:
        """Open the LMDBs and start the workers."""
        if len(bottom) != 0 or len(top) != 4:
            raise InputError(f"PairData takes no bottom and 4 tops, not {len(bottom)} and {len(top)}")
        self.feed = PairFeed(Source.parse(self.param_str))
        self.batches = batches(self.feed)
        self.before_batch = None    # a function without arguments, called before each batch is read
        self.ahead = None    # what prefetch read: the batch's number, or the error that stands for it

    def reshape(self, bottom: RawBlobVec, top: RawBlobVec) -> None:
        """Give the tops the shapes above."""
        top[0].reshape(*self.feed.shape)
        for i in LABELS:
            top[i].reshape(self.feed.settings.batch)

    def forward(self, bottom: RawBlobVec, top: RawBlobVec) -> None:
        """Read the next batch into the tops."""
        if self.before_batch:
            self.before_batch()
        ahead, self.ahead = self.ahead, None
        if isinstance(ahead, Exception):
            raise ahead
        k = self.batches.read(top[0].data) if ahead is None else ahead
        for i, labels in zip(LABELS, self.feed.labels(k)):
            top[i].data[...] = labels

    def backward(self, top: RawBlobVec, propagate_down: Sequence[bool], bottom: RawBlobVec) -> None:
        """Do nothing: there is no layer below the data."""

    def prefetch(self, data: Blob) -> None:
        """Read the next batch's images into `data`, the first top, before `forward` asks for them.

        Once nobody reads this batch's in the machine's memory any more. An error is `forward`'s to raise,
        since the update that is under way has nothing to do with it.
        """
        try:
            self.ahead = self.batches.read(data.data)
        except Exception as error:
            self.ahead = error

    def seek(self, k: int) -> None:
        """Make batch k the next, where a resumed run continues: net.layers[0].seek(k)."""
        self.batches.seek(k)
        self.ahead = None

    def close(self) -> None:
        """End the worker processes: net.layers[0].close().

        Deleting the net does not end them: Caffe leaks its Python layers, so they would wait until this
        process ends.
        """
        self.batches.close()
