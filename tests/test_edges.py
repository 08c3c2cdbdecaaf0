import numpy as np

from refdiff.edges import EdgeSmoother


def test_a_map_spreads_over_what_has_one_colour_and_stops_at_edges():
    image = np.full((60, 80, 3), 40, np.uint8)
    image[20:40, 10:50] = (200, 60, 30)
    thing = (image[..., 0] == 200)
    peak = np.zeros((60, 80), np.float32)
    peak[24:28, 14:18] = 1  # the word's attention fell on a corner of the thing
    smooth = EdgeSmoother(image, 300)(peak)
    assert smooth.dtype == np.float32 and smooth.shape == peak.shape
    assert np.array_equal(smooth > smooth.max() / 2, thing)
    level = np.full((60, 80), 0.7, np.float32)
    assert np.allclose(EdgeSmoother(image, 300)(level), level, atol=1e-6)


def test_it_is_the_least_of_its_sum():
    rng = np.random.default_rng(0)
    image, values = rng.integers(0, 60, (5, 6, 3), dtype=np.uint8), rng.random((5, 6)).astype(np.float32)
    colours, places = image.reshape(-1, 3) / 255, [divmod(i, 6) for i in range(30)]
    system, strength = np.eye(30), 20.0
    for p in range(30):
        for q in range(30):
            if p != q and max(abs(np.subtract(places[p], places[q]))) == 1:
                weight = np.exp(-((colours[p] - colours[q]) ** 2).sum() / (2 * 0.03**2)) + 1e-4
                system[p, p] += strength * weight
                system[p, q] -= strength * weight
    expected = np.linalg.solve(system, values.ravel()).reshape(5, 6)
    assert np.allclose(EdgeSmoother(image, strength)(values), expected, atol=1e-5)
