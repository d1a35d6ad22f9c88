window.appConfig = { login: "{{uucUrl}}/login/" };
