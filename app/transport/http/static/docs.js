// Shows the HTTP interface; asks for an API key where the service wants one. The key is kept in this page alone.
"use strict";

const form = document.getElementById("key-form");
let key = "";

async function show() {
  const answer = await fetch("/openapi.json", { headers: key ? { "X-API-Key": key } : {} });
  const body = await answer.json();
  form.hidden = answer.ok;
  if (!answer.ok) {
    document.getElementById("key-problem").textContent = body.detail;
    return;
  }
  const viewer = SwaggerUIBundle({
    spec: body,
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: null,
    onComplete: () => key && viewer.preauthorizeApiKey("header", key),
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  key = document.getElementById("key").value.trim();
  show();
});

show();
