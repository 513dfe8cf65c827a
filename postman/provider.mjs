// Stands in for CoinGecko: answers each request for coins with its recorded response.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const RECORDED = new URL('../tests/fixtures/coingecko_markets_gbp.json', import.meta.url);

export const startProvider = async () => {
  // A time in the future counts as now.
  const coins = readFileSync(RECORDED, 'utf8').replaceAll('2026-11-20T', '2999-11-20T');
  const server = createServer((request, response) => {
    if (request.url.startsWith('/api/v3/coins/markets')) {
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(coins);
    } else {
      response.writeHead(404).end();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, stop: () => server.close() };
};
