// Show the OpenAPI document of this server; nothing is fetched from anywhere else.
window.ui = SwaggerUIBundle({
  url: "/api/v1/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
  defaultModelsExpandDepth: 0,
  // Groups open on demand: with more than about 120 operations at once the reader shows the first nine and stops.
  docExpansion: "none",
});
