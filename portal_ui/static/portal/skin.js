// The skin's shortcuts. Everything here also works without: the search is a link to a page, menus are <details>.

// --- menus: closed by Escape and by a click beside them ---------------------------------------------------------
const openMenus = () => document.querySelectorAll('details.portal-menu[open]');

document.addEventListener('click', (event) => {
  for (const menu of openMenus()) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return;
  for (const menu of openMenus()) {
    menu.open = false;
    menu.querySelector('summary').focus();
  }
});

// --- the command palette ----------------------------------------------------------------------------------------
const opener = document.querySelector('.portal-search');

function element(name, properties = {}, children = []) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function makePalette() {
  const field = element('input', { type: 'search', maxLength: 100, placeholder: 'Search or jump to…', autocomplete: 'off' });
  const list = element('ul', { id: 'portal-palette-list', className: 'portal-results' });
  const said = element('p', { className: 'portal-quietly', textContent: '↑ ↓ to move, Enter to open, Esc to close' });
  const status = element('p', { className: 'visually-hidden' });
  const dialog = element('dialog', { className: 'portal-palette' }, [field, list, said, status]);
  dialog.setAttribute('aria-label', 'Search');
  status.setAttribute('role', 'status');
  list.setAttribute('role', 'listbox');
  list.setAttribute('aria-label', 'Results');
  for (const [name, value] of [['role', 'combobox'], ['aria-label', 'Search or jump to'], ['aria-expanded', 'true'],
    ['aria-controls', list.id], ['aria-autocomplete', 'list']]) field.setAttribute(name, value);
  let asked = 0;
  let chosen = -1;

  function choose(number) {
    const items = [...list.querySelectorAll('a')];
    chosen = items.length ? (number + items.length) % items.length : -1;
    items.forEach((item, index) => item.setAttribute('aria-selected', String(index === chosen)));
    field.setAttribute('aria-activedescendant', chosen < 0 ? '' : items[chosen].id);
    if (chosen >= 0) items[chosen].scrollIntoView({ block: 'nearest' });
  }

  function show(results) {
    list.replaceChildren(...results.map(({ label, kind, url }, index) => {
      const link = element('a', { href: url, tabIndex: -1, id: `portal-palette-${index}` }, [
        element('span', { textContent: label }), element('span', { className: 'portal-quietly', textContent: kind })]);
      link.setAttribute('role', 'option');
      const item = element('li', {}, [link]);
      item.setAttribute('role', 'presentation');
      return item;
    }));
    status.textContent = results.length ? `${results.length} results` : 'Nothing found';
    said.textContent = results.length || !field.value ? '↑ ↓ to move, Enter to open, Esc to close' : 'Nothing is called that.';
    choose(0);
  }

  async function search() {
    const mine = ++asked;
    try {
      const answer = await fetch(`${opener.dataset.palette}?q=${encodeURIComponent(field.value)}`);
      const { results } = await answer.json();
      // A slow answer must not replace a newer one.
      if (mine === asked) show(results);
    } catch {
      said.textContent = 'The portal does not answer. Press Enter to try the search page.';
    }
  }

  function go() {
    const link = list.querySelectorAll('a')[chosen];
    location.assign(link ? link.href : `${opener.href}?q=${encodeURIComponent(field.value)}`);
  }

  let pause;
  field.addEventListener('input', () => {
    clearTimeout(pause);
    pause = setTimeout(search, 120);
  });
  field.addEventListener('keydown', (event) => {
    const act = { ArrowDown: () => choose(chosen + 1), ArrowUp: () => choose(chosen - 1), Enter: go }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  return () => {
    if (dialog.open) return;
    field.value = '';
    dialog.showModal();
    search();
  };
}

if (opener) {
  let open;
  const start = (event) => {
    event.preventDefault();
    open ??= makePalette();
    open();
  };
  opener.addEventListener('click', (event) => {
    if (!(event.ctrlKey || event.metaKey || event.shiftKey)) start(event);
  });
  document.addEventListener('keydown', (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === 'k') start(event);
  });
}

// --- a button that copies what stands beside it -----------------------------------------------------------------
for (const source of document.querySelectorAll('[data-copy]')) {
  if (!navigator.clipboard || !source.textContent.trim()) continue;
  const button = element('button', { type: 'button', className: 'portal-copy', textContent: 'Copy' });
  button.setAttribute('aria-label', `Copy ${source.dataset.copy}`);
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(source.textContent.trim());
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  });
  source.after(' ', button);
}
