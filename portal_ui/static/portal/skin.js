// The skin's shortcuts. Everything here also works without: the search is a link to a page, menus are <details>.

const opener = document.querySelector('.portal-search');

// A menu closes by Escape and by a click beside it.
document.addEventListener('click', (event) => {
  for (const menu of document.querySelectorAll('details.portal-menu[open]')) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener('keydown', (event) => {
  const menu = event.key === 'Escape' && document.querySelector('details.portal-menu[open]');
  if (menu) {
    menu.open = false;
    menu.querySelector('summary').focus();
  }
});
