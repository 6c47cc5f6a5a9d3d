// Shortens what the composer's pages do as plain forms anyway: nothing here is required.

// A button of the payload's form that adds, removes or moves something: the same POST, and only the form is swapped.
document.addEventListener("submit", async (event) => {
  const form = event.target, button = event.submitter;
  if (!form.matches("form[data-compose]") || button?.name !== "_op") return;
  event.preventDefault();
  form.setAttribute("aria-busy", "true");
  const top = button.getBoundingClientRect().top;
  try {
    const answer = await fetch(location.href, { method: "POST", body: new FormData(form, button), credentials: "same-origin" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById(form.id);
    if (!fresh) throw new Error("no form came back");
    const before = new Set([...form.querySelectorAll("[id]")].map((one) => one.id));
    const groups = new Map([...form.querySelectorAll("details.f-group")].map((one) => [one.querySelector(".f-title").textContent, one.open]));
    form.replaceChildren(...fresh.childNodes);
    // What somebody opened stays open, and a group that was not there before is what they asked for.
    for (const one of form.querySelectorAll("details.f-group")) one.open ||= groups.get(one.querySelector(".f-title").textContent) ?? true;
    // What appeared gets the focus, else the button again, else whatever stands nearest to where it was.
    const appeared = [...form.querySelectorAll("input:not([type=hidden])[id], select[id], textarea[id]")].find((one) => !before.has(one.id));
    const same = [...form.querySelectorAll("button[name=_op]")].find((one) => one.value === button.value);
    const target = appeared ?? same ?? form.querySelector(`[id="${CSS.escape(button.closest("[id]")?.id ?? "")}"] button, button[name=_op]`);
    target?.focus({ preventScroll: true });
    if (target) window.scrollBy(0, target.getBoundingClientRect().top - top);
    form.dispatchEvent(new CustomEvent("compose:swapped", { bubbles: true }));
  } catch {
    // As if there were no script: the whole page comes back.
    const value = Object.assign(document.createElement("input"), { type: "hidden", name: button.name, value: button.value });
    form.append(value);
    HTMLFormElement.prototype.submit.call(form);
  } finally {
    form.removeAttribute("aria-busy");
  }
});

// The catalogue filters while one types; pressing Find asks the server the same question.
for (const search of document.querySelectorAll("form[data-filter]")) {
  const root = document.getElementById(search.dataset.filter), count = search.querySelector("[data-count]");
  // A page that was asked for with a question holds the answers only.
  if (new URLSearchParams(location.search).get("q")) continue;
  search.addEventListener("input", () => {
    const words = search.elements.q.value.toLowerCase().split(/\s+/).filter(Boolean), platform = search.elements.platform.value;
    let shown = 0;
    for (const topic of root.querySelectorAll("section")) {
      let here = 0;
      for (const entry of topic.querySelectorAll("li")) {
        const fits = words.every((word) => entry.dataset.words.includes(word)) && (!platform || entry.dataset.platforms.split(" ").includes(platform));
        entry.hidden = !fits;
        here += fits;
      }
      const recent = "recent" in topic.dataset;
      topic.hidden = !here || (recent && (words.length > 0 || platform !== ""));
      shown += recent ? 0 : here;
    }
    count.textContent = `${shown} of ${root.querySelectorAll("section:not([data-recent]) li").length}`;
  });
}
