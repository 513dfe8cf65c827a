const namesCurrency = () =>
  pm.test('names the currency', () => pm.expect(body.currency).to.match(/^[A-Z]{3}$/));

const listsOnlyBitcoin = () =>
  pm.test('has the coin once', () => {
    pm.expect(body.data.map(({ symbol }) => symbol)).to.eql(['BTC']);
  });

const listRefused = (when, about, query, at, problem = 'validation-failed') => ({
  call: 'list_coins',
  when,
  about,
  query,
  problem,
  at,
});

export const coins = {
  name: 'Coins',
  about: 'Market data of the last sync, or demonstration data.',
  steps: [
    {
      call: 'list_coins',
      test: [
        namesCurrency,
        () => {
          pm.test('lists coins by rank', () => {
            pm.expect(body.data).to.be.an('array').that.is.not.empty;
            for (const coin of body.data) pm.expect(coin).to.have.property('social');
            const ranks = body.data.map((coin) => coin.rank);
            pm.expect(ranks).to.eql([...ranks].sort((a, b) => a - b));
          });
        },
      ],
    },
    {
      call: 'list_coins',
      when: 'sorted',
      shown: true,
      about: 'Five coins, the cheapest first.',
      query: { sort: 'price', order: 'asc', limit: 5 },
      test: [
        namesCurrency,
        () =>
          pm.test('lists five by price', () => {
            const prices = body.data.map((coin) => coin.price);
            pm.expect(prices).to.have.lengthOf(5);
            pm.expect(prices).to.eql([...prices].sort((a, b) => a - b));
          }),
      ],
    },
    {
      call: 'list_coins',
      when: 'filtered',
      shown: true,
      about: 'Matches part of the name or the start of the symbol, in any case.',
      query: { q: 'BTC' },
      test: [
        namesCurrency,
        () =>
          pm.test('lists what matches', () => {
            pm.expect(body.data).to.not.be.empty;
            for (const { name, symbol } of body.data) {
              pm.expect(name.toLowerCase().includes('btc') || symbol.toLowerCase().startsWith('btc')).to.be.true;
            }
          }),
      ],
    },
    listRefused(
      'an unknown order',
      'Unknown values are refused, not ignored.',
      { sort: 'size' },
      ['/sort', 'query'],
      'malformed-query',
    ),
    listRefused('too many', '`limit` is at most 250.', { limit: 251 }, ['/limit', 'range']),
    listRefused('an unknown currency', 'The server does not offer this currency.', { currency: 'XXX' }, [
      '/currency',
      'currency',
    ]),
    {
      call: 'list_sparse_coins',
      query: { symbols: 'BTC,nope', fields: 'price,social.sentiment' },
      test: () =>
        pm.test('has only these members', () => {
          pm.expect(body.data).to.have.lengthOf(1);
          pm.expect(body.data[0]).to.have.all.keys('id', 'symbol', 'price', 'social');
        }),
    },
    {
      call: 'list_sparse_coins',
      when: 'an unknown field',
      about: 'Unknown fields are refused, not ignored.',
      query: { fields: 'prize' },
      problem: 'validation-failed',
      at: ['/fields', 'unknown-field'],
    },
    {
      call: 'read_coins_csv',
      query: { limit: 3 },
      test: () =>
        pm.test('has a header and a row for each coin', () => {
          const lines = pm.response.text().split('\r\n');
          pm.expect(lines[0]).to.match(/^id,symbol,name,slug,rank,price,.*,currency,source,as_of,stale,attribution,simulated$/);
          pm.expect(lines).to.have.lengthOf(5);
        }),
    },
    {
      call: 'list_coins',
      when: 'by sentiment',
      about: 'Coins without posts come last.',
      query: { sort: 'sentiment' },
      test: () =>
        pm.test('lists the highest sentiment first', () => {
          const sentiments = body.data.map(({ social }) => social?.sentiment ?? -2);
          pm.expect(sentiments).to.eql([...sentiments].sort((a, b) => b - a));
        }),
    },
    {
      call: 'read_coin',
      test: [
        namesCurrency,
        () => {
          pm.test('is that coin', () => {
            pm.expect(body.data.symbol).to.eql('BTC');
            pm.expect(body.data).to.have.property('social');
          });
          pm.test('has its latest points', () => pm.expect(body.history).to.be.an('array'));
        },
      ],
    },
    {
      call: 'read_coin',
      when: 'unknown',
      about: 'No coin has this name.',
      path: { coin: 'NOSUCHCOIN' },
      problem: 'not-found',
    },
    {
      call: 'read_history',
      query: { interval: '1h', metric: 'price' },
      test: () =>
        pm.test('has points in order', () => {
          pm.expect(body.interval_seconds).to.eql(3600);
          const times = body.data.map(({ at }) => Date.parse(at));
          pm.expect(times).to.eql([...times].sort((a, b) => a - b));
        }),
    },
    {
      call: 'read_history',
      when: 'too many points',
      about: 'An answer has at most 1000 points; use a longer interval for a longer time.',
      query: { interval: '1d', from: '2001-01-01T00:00:00Z' },
      problem: 'validation-failed',
      at: ['/from', 'range'],
    },
    {
      call: 'list_trending_coins',
      test: () => pm.test('has coins in order', () => pm.expect(body.data).to.be.an('array')),
    },
    {
      call: 'search_coins',
      query: { q: 'bit' },
      test: () => pm.test('finds bitcoin', () => pm.expect(body.data.map(({ symbol }) => symbol)).to.include('BTC')),
    },
    {
      call: 'read_global',
      about: 'Figures of all coins of the world, not of the list; what is null has a reason in `missing`.',
      query: { currency: 'GBP' },
      test: () =>
        pm.test('has a market capitalisation or says why not', () => {
          pm.expect(body.currency).to.eql('GBP');
          pm.expect(body.market_cap === null).to.eql('market_cap' in body.missing);
        }),
    },
    {
      call: 'read_global',
      when: 'unknown currency',
      about: 'The currencies are those that the server is configured for.',
      query: { currency: 'XTS' },
      problem: 'validation-failed',
      at: ['/currency', 'currency'],
    },
    {
      call: 'stream_coins',
      endless: true,
      about:
        'Sends an event now and after each sync, until the access token expires. Postman shows the events as they arrive; press **Cancel** to end the stream. Runs of the collection leave this request out, because it does not end.',
    },
    {
      call: 'read_chart',
      query: { metric: 'price', range: '7d', theme: 'dark' },
      test: () =>
        pm.test('is a picture with a title', () => {
          pm.expect(pm.response.text()).to.match(/^<svg /).and.to.include('<title');
        }),
    },
    {
      call: 'read_chart',
      when: 'unknown range',
      about: '`range` is one of 1d, 7d, 30d, 90d and 1y.',
      query: { range: '2d' },
      problem: 'malformed-query',
      at: ['/range', 'query'],
    },
    {
      call: 'stream_coins',
      when: 'an unknown currency',
      about: 'The server does not offer this currency.',
      query: { currency: 'XXX' },
      problem: 'validation-failed',
      at: ['/currency', 'currency'],
    },
    {
      call: 'stream_coins',
      when: 'without a token',
      about: 'Streams need a token.',
      token: null,
      problem: 'missing-token',
    },
    { call: 'list_coins', when: 'without a token', about: 'Coins need a token.', token: null, problem: 'missing-token' },
    {
      call: 'list_coins',
      when: 'with a made-up token',
      about: 'This server has not signed the token.',
      token: 'e30.e30.c2ln',
      problem: 'invalid-token',
    },
  ],
};

export const watchlist = {
  name: 'Watch list',
  about: 'The coins you watch.',
  steps: [
    { call: 'watch_coin' },
    { call: 'watch_coin', when: 'again', about: 'Watching a coin twice changes nothing.' },
    {
      call: 'watch_coin',
      when: 'unknown',
      about: 'No coin has this name.',
      path: { coin: 'NOSUCHCOIN' },
      problem: 'not-found',
    },
    { call: 'list_watchlist', test: listsOnlyBitcoin },
    {
      call: 'list_coins',
      when: 'on your watchlist',
      shown: true,
      about: 'The coins you watch, with their market data.',
      query: { watchlist: true },
      test: listsOnlyBitcoin,
    },
    { call: 'unwatch_coin' },
  ],
};

export const alerts = {
  name: 'Alerts',
  about: 'Alerts send a mail when a number of a coin crosses a threshold.',
  steps: [
    {
      call: 'create_alert',
      // Far above the price, so that no mail is sent.
      change: { threshold: 1000000 },
      test: () =>
        pm.test('is armed, with the default hysteresis', () => {
          pm.expect(body.armed).to.eql(true);
          pm.expect(body.hysteresis).to.be.closeTo(20000, 1);
        }),
      keep: () => keep('alert_id', body.id),
    },
    {
      call: 'create_alert',
      when: 'a sentiment beyond 1',
      about: 'Sentiment ranges from -1 to 1.',
      change: { metric: 'sentiment', direction: 'below', threshold: -2 },
      problem: 'validation-failed',
      at: ['/threshold', 'range'],
    },
    {
      call: 'list_alerts',
      test: () =>
        pm.test('has the alert', () => {
          pm.expect(body.data.map(({ id }) => id)).to.include(pm.variables.get('alert_id'));
        }),
    },
    { call: 'read_alert', path: { id: '{{alert_id}}' } },
    { call: 'delete_alert', path: { id: '{{alert_id}}' } },
    {
      call: 'delete_alert',
      when: 'again',
      about: 'The alert no longer exists.',
      path: { id: '{{alert_id}}' },
      problem: 'not-found',
    },
    {
      call: 'create_alert',
      when: 'on the value of the portfolio',
      about: 'It has no coin. It is unknown while nothing is held.',
      change: { coin: undefined, metric: 'portfolio_value', threshold: 20000 },
      test: () => pm.test('is of no coin', () => pm.expect(body.coin).to.eql(null)),
      keep: () => keep('alert_id', body.id),
    },
    { call: 'delete_alert', when: 'on the portfolio', path: { id: '{{alert_id}}' } },
    { call: 'end_alerts', body: { token: '{{alerts_token}}' } },
    {
      call: 'end_alerts',
      when: 'a wrong token',
      about: 'The right token is in the mail about an alert.',
      problem: 'invalid-code',
      at: ['/token', 'invalid'],
    },
    { call: 'end_alerts_by_mail', query: { token: '{{alerts_token}}' } },
    {
      call: 'end_alerts_by_mail',
      when: 'a wrong token',
      about: 'The right token is in the header `List-Unsubscribe` of the mail about an alert.',
      query: { token: 'not-a-token' },
      problem: 'invalid-code',
      at: ['/token', 'invalid'],
    },
  ],
};

export const portfolio = {
  name: 'Portfolio',
  about: 'What you bought and sold, its value and its gains. Numbers are exact decimals as text.',
  steps: [
    {
      call: 'create_transaction',
      test: () =>
        pm.test('keeps the numbers exactly', () => {
          pm.expect(body.amount).to.eql('0.25');
          pm.expect(body.total).to.eql('15000');
        }),
      keep: () => keep('transaction_id', body.id),
    },
    {
      call: 'create_transaction',
      when: 'a sale of more than is held',
      about: 'A sale cannot be of more than was held on its day.',
      change: { kind: 'sell', amount: '1000000' },
      problem: 'holdings-exceeded',
    },
    {
      call: 'create_transaction',
      when: 'an amount as a number',
      about: 'JSON numbers lose digits, so amounts are text.',
      change: { amount: 0.25 },
      problem: 'validation-failed',
      at: ['/amount', 'type'],
    },
    {
      call: 'import_transactions',
      text: {
        type: 'text/csv',
        body: 'day,kind,coin,amount,total\n2026-03-02,buy,bitcoin,0.1,6500\n2026-03-03,sell,bitcoin,0.05,3600\n',
      },
      test: () => pm.test('records both lines', () => pm.expect(body.recorded).to.eql(2)),
    },
    { call: 'list_transactions' },
    { call: 'read_transaction', path: { id: '{{transaction_id}}' } },
    {
      call: 'replace_transaction',
      path: { id: '{{transaction_id}}' },
      test: () => pm.test('keeps its id', () => pm.expect(body.id).to.eql(pm.variables.get('transaction_id'))),
    },
    {
      call: 'read_portfolio',
      test: () =>
        pm.test('holds bitcoin', () => {
          pm.expect(body.positions.map(({ slug }) => slug)).to.include('bitcoin');
        }),
    },
    { call: 'read_portfolio_history' },
    { call: 'export_transactions' },
    { call: 'delete_transaction', path: { id: '{{transaction_id}}' } },
  ],
};
