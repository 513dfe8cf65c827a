// Starts Swagger UI; it shows an SVG as its source, so that is made a picture here.
const ShowPictures = () => ({
  wrapComponents: {
    responseBody: (Original, { React }) => (props) =>
      /^image\/svg\+xml/i.test(props.contentType ?? '') && typeof props.content === 'string'
        ? React.createElement('img', {
            src: `data:image/svg+xml,${encodeURIComponent(props.content)}`,
            alt: 'The picture of the answer',
            style: { maxWidth: '100%' },
          })
        : React.createElement(Original, props),
  },
});

window.onload = () => {
  // One that was stored before the server was told not to.
  if (!REMEMBER_TOKEN) localStorage.removeItem('authorized');
  window.ui = SwaggerUIBundle({
    dom_id: '#swagger-ui',
    url: '/openapi.json',
    deepLinking: true,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    validatorUrl: 'none',
    persistAuthorization: REMEMBER_TOKEN,
    layout: 'StandaloneLayout',
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    plugins: [SwaggerUIBundle.plugins.DownloadUrl, ShowPictures],
  });
};
