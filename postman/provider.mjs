// Stands in for CoinGecko: answers each request for coins with its recorded response, and has figures of the whole market.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const RECORDED = new URL('../tests/fixtures/coingecko_markets_gbp.json', import.meta.url);

const GLOBAL = {
  data: {
    active_cryptocurrencies: 17421,
    total_market_cap: { gbp: 2512345678901.5, usd: 3412345678901.25 },
    total_volume: { gbp: 98765432109.875, usd: 129876543210.5 },
    market_cap_percentage: { btc: 58.1, eth: 11.9 },
    market_cap_change_percentage_24h_usd: -1.2,
  },
};

export const startProvider = async () => {
  // A time in the future counts as now.
  const coins = readFileSync(RECORDED, 'utf8').replaceAll('2026-11-20T', '2999-11-20T');
  const server = createServer((request, response) => {
    if (request.url.startsWith('/api/v3/coins/markets')) {
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(coins);
    } else if (request.url.startsWith('/api/v3/global')) {
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(GLOBAL));
    } else {
      response.writeHead(404).end();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, stop: () => server.close() };
};
