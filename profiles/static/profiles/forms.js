// Shortens what the form of a payload does by its buttons anyway: nothing here is required.

// Search, platform and "only keys that are set" while one types, over the top level as on the server.
const filter = (form) => {
  const bar = form.querySelector(".f-bar");
  if (!bar) return;
  const words = bar.querySelector("[name=f-find]").value.toLowerCase().split(/\s+/).filter(Boolean);
  const platform = bar.querySelector("[name=f-os]").value;
  const keys = [...form.querySelectorAll("[data-words]")];
  let shown = 0;
  for (const key of keys) {
    const known = "os" in key.dataset ? key.dataset.os.split(" ") : null;
    key.hidden = !(words.every((word) => key.dataset.words.includes(word)) && (!platform || !known || known.includes(platform)));
    shown += !key.hidden;
  }
  for (const group of form.querySelectorAll(".f-group")) {
    group.hidden = !group.querySelector("[data-words]:not([hidden])");
    // What was found is shown; what one opened or closed by hand comes back with the empty search.
    group.dataset.was ??= String(group.open);
    group.open = words.length > 0 || group.dataset.was === "true";
    if (!words.length) delete group.dataset.was;
  }
  form.classList.toggle("f-only-set", bar.querySelector("[name=f-set]").checked);
  const count = bar.querySelector(".f-count");
  count.textContent = count.textContent.replace(/\d+ of \d+ shown/, `${shown} of ${keys.length} shown`);
};

const start = () => {
  for (const button of document.querySelectorAll(".f-form button[value=filter], .f-form button[value=refresh]")) button.hidden = true;
};

document.addEventListener("input", (event) => {
  const form = event.target.closest(".f-bar")?.closest(".f-form");
  if (form) filter(form);
});

// Enter in the search must not save the payload.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches(".f-bar input[type=search]")) event.preventDefault();
});

// A value that other keys depend on: ask for the form as it is now. The page's own script (compose.js) swaps it, and
// the eye and the focus stay at the value.
document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-refresh]")) return;
  const { form, id } = event.target, button = document.createElement("button");
  const top = event.target.getBoundingClientRect().top;
  document.addEventListener("compose:swapped", () => {
    const same = document.getElementById(id);
    same?.focus({ preventScroll: true });
    if (same) window.scrollBy(0, same.getBoundingClientRect().top - top);
  }, { once: true });
  Object.assign(button, { name: "_op", value: "refresh", hidden: true });
  form.append(button);
  form.requestSubmit(button);
  button.remove();
});

document.addEventListener("compose:swapped", start);
start();
