import unittest

from harness import peers, protocols


class Peers(unittest.TestCase):
    def test_every_peer_can_be_read_and_says_how_it_is_asked(self):
        every = peers.all_peers()
        self.assertEqual(next(iter(every)), "springtide")
        for peer in every.values():
            with self.subTest(peer.name):
                self.assertIn(peer.way, protocols.BY_NAME)
                self.assertTrue(peer.request([[5.1, 3.5, 1.4, 0.2]]).body)
                self.assertIn(peer.role, ("ours", "reference", "floor", "rival", "beside"))
                self.assertTrue(peer.setup)

    def test_packages_are_pinned(self):
        for peer in peers.all_peers().values():
            if peer.kind == "python":
                with self.subTest(peer.name):
                    self.assertRegex(peers.required_version(peer), r"^\d+\.\d+")

    def test_answers_are_compared_with_what_the_model_says(self):
        ours = peers.all_peers()["springtide"]
        self.assertTrue(ours.is_right(b'{"prediction": 1}', [1]))
        self.assertFalse(ours.is_right(b'{"prediction": 1}', [2]))
