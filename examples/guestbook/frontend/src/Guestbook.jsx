import { useCallback, useEffect, useState } from 'react';

const EVERY_MS = 2000;

async function ask(options) {
  const response = await fetch('/api/entries', options);
  const said = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(said.error ?? `the backend answered ${response.status}`);
  return { said, frontend: response.headers.get('x-served-by') };
}

export function Guestbook() {
  const [page, setPage] = useState({ entries: [], served_by: '', greeting: '', frontend: '' });
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState(false);

  const refresh = useCallback(async () => {
    try {
      const { said, frontend } = await ask();
      setPage({ ...said, frontend });
      setProblem('');
    } catch (error) {
      setProblem(error.message);
    }
  }, []);

  useEffect(() => {
    refresh();
    const timer = setInterval(refresh, EVERY_MS);
    return () => clearInterval(timer);
  }, [refresh]);

  async function sign(event) {
    event.preventDefault();
    const form = event.currentTarget;
    setBusy(true);
    try {
      await ask({
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(Object.fromEntries(new FormData(form))),
      });
      form.reset();
      await refresh();
    } catch (error) {
      setProblem(error.message);
    } finally {
      setBusy(false);
    }
  }

  return (
    <main>
      <h1>Guestbook</h1>
      <p className="greeting">{page.greeting}</p>
      <form onSubmit={sign}>
        <input name="name" placeholder="Your name" maxLength={80} required aria-label="Your name" />
        <input name="text" placeholder="What you leave here" maxLength={1000} required aria-label="Entry" />
        <button disabled={busy}>Sign</button>
      </form>
      {problem && <p role="alert">{problem}</p>}
      <ul aria-label="Entries">
        {page.entries.map((entry) => (
          <li key={entry.at + entry.name}>
            <strong>{entry.name}</strong> {entry.text}
            <time dateTime={entry.at}>{new Date(entry.at).toLocaleString()}</time>
          </li>
        ))}
      </ul>
      <footer>
        Page served by <code>{page.frontend || '…'}</code>, entries by <code>{page.served_by || '…'}</code>. Entries
        lie on the disk of one labelled worker: they outlive the backend&apos;s pod, not that machine.
      </footer>
    </main>
  );
}
