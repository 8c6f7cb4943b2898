// A person at the guestbook: signs it, or looks whether an entry is there, and takes a picture.
//
//   node guestbook.mjs sign|look URL NAME TEXT PICTURE
import { chromium } from 'playwright-core';

const [what, url, name, text, picture] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  const page = await browser.newPage({ viewport: { width: 900, height: 700 } });
  await page.goto(url, { timeout: 30_000 });
  if (what === 'sign') {
    await page.getByLabel('Your name').fill(name);
    await page.getByLabel('Entry').fill(text);
    await page.getByRole('button', { name: 'Sign' }).click();
  }
  await page.getByRole('listitem').filter({ hasText: name }).filter({ hasText: text }).first().waitFor({ timeout: 30_000 });
  await page.screenshot({ path: picture });
  console.log(`${name} ${text}`);
} finally {
  await browser.close();
}
