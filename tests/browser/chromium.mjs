// A headless Chromium, and pages that fail their test on any error of their own and any request elsewhere.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../.ci/tools/package.json', import.meta.url));
const { chromium } = require('playwright-core');

const SCREENSHOTS = new URL('../../target/browser/', import.meta.url).pathname;
const PHONE = { width: 360, height: 740 };

export const launch = () => {
  mkdirSync(SCREENSHOTS, { recursive: true });
  return chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
  });
};

/** Opens a link of the server at `base`, on a phone unless the options say otherwise. */
export const open = async (t, browser, base, link, options = {}) => {
  const context = await browser.newContext({ viewport: PHONE, ...options });
  // For the slowest of machines.
  context.setDefaultTimeout(180_000);
  const page = await context.newPage();
  const faults = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    const refused = /status of 4\d\d/.test(message.text());
    if (message.type() === 'error' && !refused) faults.push(message.text());
  });
  page.on('request', (request) => {
    const address = request.url();
    if (!address.startsWith(base) && !/^(data|blob):/.test(address)) faults.push(`asked ${address}`);
    if (address.includes('token=')) faults.push('the token left the browser in an address');
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(faults, []);
  });
  await page.goto(link);
  return page;
};

export const shot = (target, name) => target.screenshot({ path: `${SCREENSHOTS}${name}.png`, fullPage: true });
