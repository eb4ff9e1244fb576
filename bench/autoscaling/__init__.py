"""How the autoscalers follow real load on the kind cluster, ours and the reference's; ../README.md has the rest."""
