"""The co-occurrence probe: does a model invent relations between entities that only appear in the same sentence?"""

from __future__ import annotations

from conjoin.artifacts.run_record import ProbeRecord
from conjoin.corpora.probe import cooccurrence_probe
from conjoin.extractor import Extractor


def probe_cooccurrence(extractor: Extractor) -> ProbeRecord | None:
    """Annotate the sentences of the probe and count relations; None for a model of other types than the probe's.

    Relations in the similar sentences that state them count as found under `strict`.
    """
    cooccurring, related = cooccurrence_probe()
    types = {relation.type for document in related for relation in document.relations}
    if not types <= set(extractor.schema.relation_types):
        return None
    invented = sum(bool(document.relations) for document in extractor.annotate(cooccurring))
    predicted = extractor.annotate(related)
    correct = sum(len(set(ours.relations) & set(gold.relations)) for gold, ours in zip(related, predicted, strict=True))
    total = sum(len(document.relations) for document in related)
    return ProbeRecord(len(cooccurring), len(related), invented / len(cooccurring), correct / total)
