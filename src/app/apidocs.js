// Starts Swagger UI, with what it lacks: images, streams, the token of a log-in, and its own address as the server.

// It shows an SVG as source text; this shows it as an image.
const ShowImages = () => ({
  wrapComponents: {
    responseBody: (Original, { React }) => (props) =>
      /^image\/svg\+xml/i.test(props.contentType ?? '') && typeof props.content === 'string'
        ? React.createElement('img', {
            src: `data:image/svg+xml,${encodeURIComponent(props.content)}`,
            alt: 'The image in the response',
            style: { maxWidth: '100%' },
          })
        : React.createElement(Original, props),
  },
});

/** The document names PUBLIC_URL, for clients that are generated from it. This page calls the server that it came from. */
const CallThisServer = () => ({
  statePlugins: {
    spec: {
      wrapActions: {
        updateJsonSpec: (update) => (document) =>
          update({ ...document, servers: [{ url: new URL('..', location.href).href.replace(/\/$/, '') }] }),
      },
    },
  },
});

const NOTE = ': Swagger UI ends a stream after the first event; other clients receive one event after the other.\n';

/** It shows a response only when its body has ended, which a stream does not. This ends it after the first event. */
const fetchUpToFirstEvent = async (url, options) => {
  const response = await fetch(url, options);
  if (!/^text\/event-stream/i.test(response.headers.get('content-type') ?? '')) return response;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  while (!/^data:.*\n\n/ms.test(text)) {
    const { done, value } = await reader.read();
    if (done) break;
    text += value;
  }
  await reader.cancel();
  const { status, statusText, headers } = response;
  return new Response(NOTE + text, { status, statusText, headers });
};

/** The security schemes that take an access token, as Swagger UI stores them. */
const bearerSchemes = () =>
  Object.entries(window.ui.specSelectors.specJson().toJS().components?.securitySchemes ?? {}).filter(
    ([, { type, scheme }]) => type === 'http' && scheme === 'bearer',
  );

/** After a log-in or refresh the next requests have the new token; after a log-out they have none. */
const keepToken = (response) => {
  const { pathname } = new URL(response.url, location.href);
  const { authorizeWithPersistOption, logoutWithPersistOption } = window.ui?.authActions ?? {};
  if (response.ok && /\/auth\/(login|refresh)$/.test(pathname) && response.body?.access_token) {
    const value = response.body.access_token;
    const authorized = ([name, schema]) => [name, { name, schema, value }];
    authorizeWithPersistOption(Object.fromEntries(bearerSchemes().map(authorized)));
  }
  if (response.ok && /\/auth\/logout$/.test(pathname)) {
    logoutWithPersistOption(bearerSchemes().map(([name]) => name));
  }
  return response;
};

// Its colours follow the system's.
const isDark = matchMedia('(prefers-color-scheme: dark)');
const showScheme = () => document.documentElement.classList.toggle('dark-mode', isDark.matches);
isDark.addEventListener('change', showScheme);
showScheme();

// A token may be stored from a time when the server allowed that.
if (!REMEMBER_TOKEN) localStorage.removeItem('authorized');
window.ui = SwaggerUIBundle({
  dom_id: '#swagger-ui',
  url: '../openapi.json',
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // The list of all schemas below the operations is closed at first.
  defaultModelsExpandDepth: 0,
  validatorUrl: 'none',
  persistAuthorization: REMEMBER_TOKEN,
  // Without the bar in which another document could be opened.
  layout: 'BaseLayout',
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [ShowImages, CallThisServer],
  requestInterceptor: (request) => Object.assign(request, { userFetch: fetchUpToFirstEvent }),
  responseInterceptor: keepToken,
});
