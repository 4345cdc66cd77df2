/** Spanish: the first-run guide. */
export default {
  title: "De cero a la primera respuesta en tres pasos",
  documents: "Añada lo que sabe",
  documents_why: "Suba artículos de ayuda, preguntas frecuentes o manuales. Cada respuesta sale de ellos.",
  add: "Subir archivos",
  write: "Escribir un artículo",
  ask: "Haga una pregunta",
  ask_why: "Pregunte como lo haría un cliente. Cada frase de la respuesta muestra de dónde viene.",
  try: "Abrir el asistente",
  share: "Póngalo en su sitio",
  share_why: "Una línea en su página muestra allí el asistente. Si el servidor pide claves, cree antes una de cliente.",
};
