"""Keys and jobs in the browser, for admins."""

from browser import Window
from playwright.sync_api import Route, expect
from rig import SOUP, Api


def accepted(api: Api, key: str) -> bool:
    """Whether the server knows the key."""
    headers = {"Authorization": f"Bearer {key}"}
    return api.get("/v1/documents", headers=headers).status_code == 200


def test_a_key_is_made_shown_once_rotated_and_revoked(api: Api, window: Window) -> None:
    page = window.open(view="Admin").page
    form = page.locator("#new-key")
    form.get_by_label("Name").fill("<b>the wiki's robot</b>")
    form.get_by_label("Groups").fill("ops, night-shift")
    form.get_by_label("Role").select_option("writer")
    form.get_by_role("button", name="Make a key").click()
    shown = page.locator("#made-key code")
    first = shown.inner_text()
    assert accepted(api, first)
    row = page.locator("#keys li", has_text="robot")
    expect(row).to_contain_text("<b>the wiki's robot</b>")
    expect(row).to_contain_text("writer · tenant default")
    expect(row.locator(".group")).to_have_text(["night-shift", "ops"])
    page.get_by_role("button", name="I have it").click()
    expect(shown).to_have_count(0)
    row.get_by_role("button", name="Rotate").click()
    page.get_by_role("button", name="Leave it").click()
    assert accepted(api, first)
    row.get_by_role("button", name="Rotate").click()
    page.locator("#confirm").get_by_role("button", name="Rotate").click()
    expect(shown).to_be_visible()
    second = shown.inner_text()
    assert not accepted(api, first)
    assert accepted(api, second)
    page.get_by_role("link", name="Ask", exact=True).click()
    page.get_by_role("link", name="Admin", exact=True).click()
    expect(row).to_be_visible()
    expect(shown).to_have_count(0)
    row.get_by_role("button", name="Revoke").click()
    page.locator("#confirm").get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text("revoked")
    expect(row.get_by_role("button")).to_have_count(0)
    assert not accepted(api, second)


def test_what_cannot_be_a_key_and_who_may_not_make_one_are_told_so(
    api: Api, window: Window
) -> None:
    page = window.open(view="Admin").page
    page.locator("#new-key").get_by_label("Groups").fill("o/ps")
    page.get_by_role("button", name="Make a key").click()
    expect(page.locator("#made-key").get_by_role("alert")).to_contain_text("groups")
    expect(page.locator("#new-key").get_by_label("Groups")).to_have_value("o/ps")
    reader = api.post("/v1/keys", json={"tenant": "default", "role": "reader"}).json()["key"]
    page.evaluate("(key) => sessionStorage.setItem('bulkhead-key', key)", reader)
    page.reload()
    expect(page.locator("#keys").get_by_role("alert")).to_contain_text("a key that has it")
    expect(page.locator("#all-jobs")).to_contain_text("There is no such job")


def test_jobs_show_their_states_and_why_documents_failed(api: Api, window: Window) -> None:
    api.ingest({"text": SOUP, "title": "Canteen", "source": "canteen.txt"})
    reply = api.post("/v1/documents", files=[("files", ("broken.pdf", b"%PDF-1.7"))])
    api.finished(reply.json()["id"])
    page = window.open(view="Admin").page
    failed = page.locator("#all-jobs > li").first
    expect(failed).to_contain_text("failed")
    failed.get_by_text("Why").click()
    expect(failed.locator("li")).to_contain_text("broken.pdf")
    page.locator("#job-state").select_option("succeeded")
    expect(page.locator("#all-jobs > li").first).to_contain_text("1 added")
    expect(page.locator("#all-jobs")).not_to_contain_text("failed")
    page.locator("#job-state").select_option("queued")
    expect(page.locator("#all-jobs")).to_contain_text("There is no such job")


def test_a_job_that_waits_says_for_what_and_can_be_cancelled(api: Api, window: Window) -> None:
    counts = {"total": 1, "pending": 1, "failed": 0}
    waits = "the embedding service does not answer"
    job = {"id": "j1", "state": "queued", "counts": counts, "waiting": waits}
    cancelled: list[str] = []

    def cancel(route: Route) -> None:
        cancelled.append(route.request.url)
        route.fulfill(json={**job, "state": "cancelled"})

    window.page.route(
        "**/v1/jobs?*",
        lambda route: route.fulfill(json={"data": [] if cancelled else [job], "next_cursor": None}),
    )
    window.page.route("**/v1/jobs/j1/cancel", cancel)
    row = window.open(view="Admin").page.locator("#all-jobs li")
    expect(row).to_contain_text("queued · 0 of 1 document · waiting: the embedding service")
    row.get_by_role("button", name="Cancel").click()
    expect(window.page.locator("#all-jobs")).to_contain_text("There is no such job")
    assert len(cancelled) == 1
