"""What the operator refuses to launch, whoever asks, and in which words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.planning.runs import pod_security
from assay.planning.runs.pod_security import BASELINE, LEVELS, OFF, RESTRICTED
from tests import pod_templates, registry

pytestmark = pytest.mark.unit

Raw = dict[str, Any]


def run(pod: Any) -> Raw:
    found = registry.run("r")
    found["spec"]["job"]["template"]["spec"] = pod
    return found


@pytest.mark.parametrize("name", pod_templates.FORBIDDEN)
def test_baseline_violations_are_refused_on_every_level_except_off(name: str) -> None:
    wanted = run(pod_templates.FORBIDDEN[name])
    assert pod_security.refusal(wanted, OFF) == ""
    for level in (BASELINE, RESTRICTED):
        said = pod_security.refusal(wanted, level)
        assert said.startswith("spec.job.template: ")
        assert said.endswith(f"runs.podSecurity of this cluster is {level}")


@pytest.mark.parametrize("name", pod_templates.ALLOWED)
def test_templates_allowed_by_baseline_are_not_refused(name: str) -> None:
    assert pod_security.refusal(run(pod_templates.ALLOWED[name]), BASELINE) == ""


@pytest.mark.parametrize("name", pod_templates.weakened())
def test_restricted_refuses_weakened_templates(name: str) -> None:
    wanted = run(pod_templates.weakened()[name])
    assert pod_security.refusal(wanted, RESTRICTED)
    assert pod_security.refusal(run(pod_templates.RESTRICTED), RESTRICTED) == ""


def test_the_refusal_names_the_container_and_the_field() -> None:
    said = pod_security.refusal(run(pod_templates.FORBIDDEN["capability"]), BASELINE)
    assert said == (
        "spec.job.template: container changed: the added capabilities SYS_ADMIN are not allowed; "
        "runs.podSecurity of this cluster is baseline"
    )


def test_a_service_account_that_the_namespace_names_is_allowed() -> None:
    wanted = run(pod_templates.FORBIDDEN["service-account"])
    allowed = pod_security.allowed_accounts({"assay.dev/run-service-accounts": " trainer  deployer"})
    assert pod_security.account_of(wanted) == "deployer"
    assert pod_security.refusal(wanted, BASELINE, allowed) == ""
    assert "assay.dev/run-service-accounts" in pod_security.refusal(wanted, BASELINE, ["trainer"])


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["containers", "securityContext", "volumes", "capabilities", "name"]), inner)
    ),
    max_leaves=8,
)


@given(anything, st.sampled_from(LEVELS))
def test_a_template_of_any_shape_is_judged(pod: Any, level: str) -> None:
    """Whether it is a pod at all is for the API server to say."""
    assert isinstance(pod_security.refusal(run(pod), level), str)
