import pytest

from unit.evaluation.benchmark import BIG, SMALL, Benchmark


@pytest.fixture
def benchmark_of(tmp_path):
    """Make a benchmark with other settings."""

    def make(name="made_up", **settings):
        return Benchmark(tmp_path / name, **settings)

    return make


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """The plain benchmark on disk; not to be changed."""
    return Benchmark(tmp_path_factory.mktemp("plain")).write()


@pytest.fixture(scope="session")
def single(written):
    """Its tables of the large model on its own."""
    return written.single(BIG)


@pytest.fixture(scope="session")
def pairs(written):
    """Its tables of the pair."""
    return written.pairs(SMALL, BIG)
