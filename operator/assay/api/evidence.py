"""Evidence that a promotion policy can require of a version: one row of the table is one kind.

The PromotionPolicy's schema, the verdict, what an approver is shown and the lineage are made from this table.
"""

from typing import Final, NamedTuple

from assay.api import names


class EvidenceKind(NamedTuple):
    """One kind of evidence.

    ``name`` is the field of ``PromotionPolicy.spec.evidence``, ``condition`` the condition of the ModelVersion that
    carries it. ``default`` says whether a policy that does not mention it requires it. ``unmet`` is what an alias
    reports without it.
    """

    name: str
    condition: str
    default: bool
    description: str
    unmet: str


KINDS: Final = (
    EvidenceKind(
        "reproducible",
        names.REPRODUCIBLE,
        False,
        "The run's recipe is complete.",
        "the run's recipe is not complete (condition Reproducible of the run says what is missing)",
    ),
    EvidenceKind(
        "artifactVerified",
        names.ARTIFACT_VERIFIED,
        True,
        "The bytes were verified when they were copied.",
        "the artifact has not been verified (condition ArtifactVerified)",
    ),
    EvidenceKind(
        "provenanceVerified",
        names.PROVENANCE_VERIFIED,
        True,
        "The version's run recorded its metrics and parameters.",
        "its metrics and parameters are what a manifest claims, not what a run of this cluster recorded "
        "(condition ProvenanceVerified)",
    ),
    EvidenceKind(
        "signed",
        names.SIGNED,
        False,
        "The bytes have a valid signature.",
        "the artifact carries no valid signature",
    ),
)
#: What a policy requires that does not mention evidence.
DEFAULT: Final = frozenset(kind.name for kind in KINDS if kind.default)
#: The conditions, in the order in which they are shown.
CONDITIONS: Final = tuple(kind.condition for kind in KINDS)
SIGNED: Final = "signed"
