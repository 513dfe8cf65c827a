// Starts Swagger UI. It shows an SVG as source text, so a plug-in shows it as an image.
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

window.onload = () => {
  // A token may be stored from a time when the server allowed that.
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
    plugins: [SwaggerUIBundle.plugins.DownloadUrl, ShowImages],
  });
};
