// Looks whether anything happened, and puts the page's new contents in. The page is whole without it.
'use strict';
(() => {
  const main = document.querySelector('main');
  if (!main || !main.dataset.live) return;
  let last = main.dataset.live, busy = false;
  const keys = (root) => [...root.querySelectorAll('[data-key]')];
  const look = async () => {
    if (busy || document.hidden) return;
    busy = true;
    try {
      const mark = await (await fetch('/tip', { cache: 'no-store' })).text();
      if (mark !== last) {
        const answer = await fetch(location.href, { cache: 'no-store' });
        const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
        const fresh = page.querySelector('main');
        if (answer.ok && fresh) {
          const known = new Set(keys(main).map((one) => one.dataset.key));
          for (const one of keys(fresh)) one.classList.toggle('new', !known.has(one.dataset.key));
          main.replaceChildren(...fresh.childNodes);
          last = mark;
        }
      }
      document.body.classList.remove('away');
    } catch {
      document.body.classList.add('away');
    } finally {
      busy = false;
    }
  };
  setInterval(look, 1500);
})();
